"""The code that the lessons of the VQ course build, check and grade with."""

"""What a lesson shows: figures, and what became of a prediction. It knows nothing of checks and grading."""

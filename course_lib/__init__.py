"""The code that the lessons of the VQ course build, check and grade with.

quantize              the subject, lessons 01 to 06 and 09: pure functions, then the two layers made of them
search                the same nearest codes, fast (lesson 10)
guards, ranks         what quantize refuses, and how processes that train together share one codebook
models                the autoencoders around a quantiser (lessons 07, 08, 10, 12)
training, recipes     a training loop, and how the CIFAR-10 model is trained with it (lessons 07 to 14)
priors                what is learnt of the codes afterwards (lesson 14)
data, plots, predict  what a lesson loads and shows
check, grade          what an exercise is checked by, and how a class is graded
"""

"""The tiny Stable Diffusion that ships: coloured handwritten digits and words for them, trained from scratch."""

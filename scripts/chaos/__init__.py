"""Kill real trainings at random moments and compare what is left with undisturbed ones."""

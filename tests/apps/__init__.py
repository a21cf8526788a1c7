"""Apps that the workers of the tests run."""

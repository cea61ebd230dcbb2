"""Places for greenroom in other people's programs."""

"""What is measured, each figure with its denominator from the same run."""

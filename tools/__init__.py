"""What the project's own checks run; no part of the package."""

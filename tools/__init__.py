"""Tools for those who work on rollbook; no part of the package."""

"""Mutation tests: what the product must not lose, taken out of a copy, turns tests red."""

"""The commands of `flagsched`: one module each, loaded only when it is run."""

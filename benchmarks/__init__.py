"""What flagsched costs, each figure beside its ceiling in the same run: `python3 dev.py bench`."""

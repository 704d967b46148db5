"""What flagsched knows of flags and time: values and total functions, without clock, randomness or I/O."""

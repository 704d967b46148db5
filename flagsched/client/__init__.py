"""The command line's client of a flagsched server: it speaks HTTP, and knows nothing of what the server is made of."""

"""The schema's revisions; shipped as flagsched.migrations."""

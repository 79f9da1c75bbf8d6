"""The classroom: notebooks made, run, released, checked and printed."""

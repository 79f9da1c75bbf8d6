"""One module a system of the talk; each reads like its paper."""

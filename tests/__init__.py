"""Tests of the library, the course and the tools; benchmarks share some of their code."""

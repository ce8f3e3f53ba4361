"""Micro-benchmarks: what single steps of the engine cost, counted in calls and bytecodes, and timed on demand.

`python -m benchmarks.micro`. Counts are the same in every run, so that a step that has become dearer shows at once; see
README.md in the directory above.
"""

"""anabranch and its rivals at the same work, in the same run, as separate processes: `python -m benchmarks`.

What is measured and how to read it: README.md beside this file.
"""

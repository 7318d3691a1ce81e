"""For tools that still start at setup.py; all metadata is in setup.cfg."""

from setuptools import setup

setup()

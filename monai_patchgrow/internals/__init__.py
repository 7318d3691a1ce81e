"""Floor 1: which private names of other libraries does the package use, and in which of their versions?"""

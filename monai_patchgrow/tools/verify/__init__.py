"""What is wrong with a data set, all at once, and what of it can be mended in a copy?"""

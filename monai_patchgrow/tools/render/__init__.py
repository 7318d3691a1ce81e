"""How does a plan become the files of a bundle?"""

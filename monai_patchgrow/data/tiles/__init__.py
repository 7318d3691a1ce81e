"""How are the patches of an image read that is larger than memory?"""

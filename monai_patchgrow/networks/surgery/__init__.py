"""What is changed in a network so that it can be trained on small patches?"""

"""Which cases are there, what is in them, and which fold is each in?"""

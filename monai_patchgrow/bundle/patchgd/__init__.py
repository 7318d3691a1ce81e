"""What does the JSON of a classification bundle call?"""

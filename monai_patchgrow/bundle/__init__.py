"""Floor 5: what does the JSON of a bundle call?"""

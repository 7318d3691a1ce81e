"""What does a data set look like, and what was planned for it, on one HTML page?"""

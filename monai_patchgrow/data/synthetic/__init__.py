"""Which data do we make ourselves?"""

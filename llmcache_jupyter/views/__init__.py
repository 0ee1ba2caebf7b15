"""What is shown: entries and statistics as DataFrame, HTML and text. No Jupyter; pandas only lazily."""

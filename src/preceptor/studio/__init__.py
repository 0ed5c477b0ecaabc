"""The studio: a web application in which people rate responses, and owners look at what preceptor wrote.

`app.py` puts it together; `routes/` has the pages, one file for each group; `people/` has what people say, in a
database; `folders.py` is the only way to the folders that preceptor wrote. It needs the extra `studio`.
"""

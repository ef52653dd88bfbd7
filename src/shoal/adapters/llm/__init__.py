"""Questions to language models, each with an answer in a schema: what they are asked, and how.

model.py asks; every other file is one question. pydantic-ai, of the extra `llm`, is imported when one is asked: that
takes a second and a half.
"""

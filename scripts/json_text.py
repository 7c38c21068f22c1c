"""Edits of JSON texts that leave every other byte as it is: numbers, order, spaces, keys that stand twice."""

import json
import re

SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


def after_space(text, at):
    return SPACE.match(text, at).end()


def members(text, at):
    """Of the object that starts at `at`, in valid JSON: [(start of the key, key, start of the value, end of the value)]"""
    found = []
    at = after_space(text, after_space(text, at) + 1)
    while text[at] != "}":
        start, (key, at) = at, DECODER.raw_decode(text, at)
        value = after_space(text, after_space(text, at) + 1)
        _, at = DECODER.raw_decode(text, value)
        found.append((start, key, value, at))
        at = after_space(text, at)
        if text[at] == ",":
            at = after_space(text, at + 1)
    return found


def items(text, at):
    """Of the array that starts at `at`: the start of each item."""
    found = []
    at = after_space(text, after_space(text, at) + 1)
    while text[at] != "]":
        found.append(at)
        _, at = DECODER.raw_decode(text, at)
        at = after_space(text, at)
        if text[at] == ",":
            at = after_space(text, at + 1)
    return found


def put(text, at, key, value):
    """With `key: value` (its JSON) in the object at `at`: in the place of what it was, else as the last member, on a line of
    its own where the others have that."""
    standing = members(text, at)
    places = [(start, end) for _, name, start, end in standing if name == key]
    for start, end in reversed(places):
        text = text[:start] + value + text[end:]
    if places:
        return text
    member = f"{json.dumps(key)}: {value}"
    if not standing:
        at = after_space(text, at) + 1
        return text[:at] + member + text[at:]
    first, end = standing[0][0], standing[-1][3]
    before = text[len(text[:first].rstrip(" \t\r\n")):first]
    return f"{text[:end]},{before or ' '}{member}{text[end:]}"

"""Programs that graders run inside sessions.

Their text is handed to the guest as it starts, and loaded once before any session is forked: a
guest has the standard library and the scientific packages, but no codeact. `crossing` is common to
both sides of a code verdict.
"""

"""Webhooks: telling other systems what happened.

Values and decisions (`retrying`, `signing`), one thin sender (`addresses`, `sending`), and the loop that empties a
registry's outbox with them (`delivering`). Clock, chance and environment are passed in.
"""

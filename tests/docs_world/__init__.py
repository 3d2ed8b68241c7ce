"""A desk to run the documentation's commands at: its profiles, an AWS on loopback, a terminal."""

"""The experiment behind ``docs/results.md``: what is run at which scale, and what is made of it."""

"""gunicorn -k greenroom.contrib.gunicorn.Worker, one worker.   …_greenroom.py wsgi|file PORT"""

from web_gunicorn import main

main("greenroom.contrib.gunicorn.Worker")

"""An SSH server, paramiko's, on real threads. Prints its port.

Any user may log in with the password "secret". `sleep N` waits N seconds, another command comes
back as it is; every command but "false" ends with status 0.
"""

import socket
import threading
import time

import paramiko

KEY = paramiko.ECDSAKey.generate()


class Server(paramiko.ServerInterface):
    def get_allowed_auths(self, username):
        return "password"

    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL if password == "secret" else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=run, args=(channel, command.decode()), daemon=True).start()
        return True


def run(channel, command):
    time.sleep(0.05)  # the request must have been answered before the channel is closed
    if command.startswith("sleep "):
        time.sleep(float(command.split()[1]))
    channel.sendall(command.encode())
    channel.send_exit_status(int(command == "false"))
    channel.close()


def serve(connection):
    transport = paramiko.Transport(connection)
    transport.add_server_key(KEY)
    try:
        transport.start_server(server=Server())
    except (OSError, EOFError, paramiko.SSHException):
        pass  # the client has gone


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

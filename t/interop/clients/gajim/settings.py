"""Makes an account with Gajim's own settings module."""

import os

import gi
gi.require_version("Gtk", "3.0")

from gajim.common import app, configpaths  # noqa: E402

configpaths.init()
configpaths.create_paths()

from gajim.common.settings import Settings  # noqa: E402

env = os.environ
host = env["XMPP_HOST"]

app.settings = settings = Settings()
settings.init()
settings.set_app_setting("use_keyring", False)
settings.set_app_setting("check_for_update", False)
settings.set_plugin_setting("interop", "active", True)

account = "test"
settings.add_account(account)

for name, value in (
        ("name", env["XMPP_USER"]),
        ("hostname", env["XMPP_DOMAIN"]),
        ("account_label", "test"),
        ("password", env["XMPP_PASSWORD"]),
        ("savepass", True),
        ("autoconnect", True),
        ("active", True),
        ("use_custom_host", True),
        ("custom_host", "[%s]" % host if ":" in host else host),
        ("custom_port", int(env["XMPP_PORT"])),
        ("custom_type", "DIRECT TLS" if env["XMPP_TLS"] == "direct"
         else "START TLS")):
    settings.set_account_setting(account, name, value)

settings.save()
settings.close()

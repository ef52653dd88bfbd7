"""The one configuration: where the home is, and every setting with its default and meaning.

A setting comes from SHOAL_<NAME> in the environment, else from shoal.toml in the home, else from here.
"""

from shoal.settings.home import CONFIG_FILE, Home, find_home
from shoal.settings.settings import (
    ADMIN_TOKEN,
    APP_KEY,
    FOLDER,
    GITHUB_TOKEN,
    SECRETS,
    VAULT_TOKEN,
    Settings,
    setting_descriptions,
)
from shoal.settings.tables import (
    AgentSettings,
    BacklogSettings,
    BrokerSettings,
    ChannelSettings,
    DispatchSettings,
    KubernetesSettings,
    Permissions,
    ProjectSettings,
    RepositorySettings,
    ReviewSettings,
    ServiceSettings,
    TrackerSettings,
    TriageSettings,
    WorkflowSettings,
)

__all__ = [
    "ADMIN_TOKEN",
    "APP_KEY",
    "CONFIG_FILE",
    "FOLDER",
    "GITHUB_TOKEN",
    "SECRETS",
    "VAULT_TOKEN",
    "AgentSettings",
    "BacklogSettings",
    "BrokerSettings",
    "ChannelSettings",
    "DispatchSettings",
    "Home",
    "KubernetesSettings",
    "Permissions",
    "ProjectSettings",
    "RepositorySettings",
    "ReviewSettings",
    "ServiceSettings",
    "Settings",
    "TrackerSettings",
    "TriageSettings",
    "WorkflowSettings",
    "find_home",
    "setting_descriptions",
]

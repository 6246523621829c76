"""Push notifications to apps: FCM and APNs."""

//! rumqttc.

include $(sort $(wildcard $(BR2_EXTERNAL_PERIGEE_PATH)/package/*/*.mk))

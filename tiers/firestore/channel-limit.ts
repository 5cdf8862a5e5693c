/** Upper limit of the setting `channels`: 10,000 concurrent requests, more than one process can use. Apart from the settings, which load the backend's errors. */
export const MAX_CHANNELS = 100

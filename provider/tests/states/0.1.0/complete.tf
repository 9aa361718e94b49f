terraform {
  required_providers {
    bellflower = { source = "bellflower/bellflower" }
  }
}

provider "bellflower" {
  default_tags {
    tags = { team = "logistics" }
  }
}

resource "bellflower_callback_pipeline" "this" {
  name                  = "parcels"
  environment           = "prod"
  log_retention_in_days = 30
  iam_path              = "/pipelines/"
  tags                  = { cost-centre = "42" }

  key = { alias = "alias/parcels", description = "Parcels", deletion_window_in_days = 7, rotation_period_in_days = 180 }
  bucket = {
    bucket          = "parcels-exchange-123456789012"
    force_destroy   = true
    inbound_prefix  = "in/"
    outbound_prefix = "out/"
    expiration_days = 400
  }
  queue             = { name = "parcels", delay_seconds = 3, max_message_size = 262144, visibility_timeout_seconds = 600 }
  dead_letter_queue = { name = "parcels-dead", max_receive_count = 3, message_retention_seconds = 864000 }
  topic             = { name = "parcels", display_name = "Parcels" }
  subscriptions = {
    operator = { protocol = "email", endpoint = "operator@example.com" }
    hook     = { protocol = "https", endpoint = "https://example.com/hook", filter_policy = jsonencode({ kind = ["failure"] }), filter_policy_scope = "MessageBody" }
  }
  processing = {
    memory_size                    = 256
    timeout                        = 20
    reserved_concurrent_executions = 5
    tracing_mode                   = "PassThrough"
    variables                      = { STAGE = "prod" }
    role                           = { name = "parcels-processing" }
    alarms                         = { throttles = { enabled = false }, errors = { threshold = 3, period = 600 } }
  }
  integration = { function_name = "parcels-integration", alarms = { duration = { threshold = 5000 } } }
  event_source = { batch_size = 20, maximum_batching_window_in_seconds = 5, maximum_concurrency = 4 }
  state_machine = {
    name                       = "parcels"
    callback_timeout_seconds   = 604800
    callback_heartbeat_seconds = 3600
    processing_retry           = { max_attempts = 5, interval_seconds = 2, backoff_rate = 1.5 }
    log_level                  = "ERROR"
    tracing_enabled            = false
  }
  timeouts {
    create = "10m"
  }
}

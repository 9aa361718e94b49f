resource "bellflower_callback_pipeline" "this" {
  name                  = var.name
  environment           = var.environment
  task_token            = var.task_token
  kms_key_arn           = var.kms_key_arn
  log_retention_in_days = var.log_retention_in_days
  iam_path              = var.iam_path
  permissions_boundary  = var.permissions_boundary
  tags                  = var.tags

  key                 = var.key
  bucket              = var.bucket
  queue               = var.queue
  undeliverable_queue = var.undeliverable_queue
  dead_letter_queue   = var.dead_letter_queue
  topic               = var.topic
  subscriptions       = var.subscriptions
  processing          = var.processing
  integration         = var.integration
  event_source        = var.event_source
  event_invoke_config = var.event_invoke_config
  state_machine       = var.state_machine
  alarms              = var.alarms
  dashboard           = var.dashboard

  dynamic "timeouts" {
    for_each = var.timeouts[*]

    content {
      create = timeouts.value.create
      read   = timeouts.value.read
      update = timeouts.value.update
      delete = timeouts.value.delete
    }
  }
}

output "name" {
  description = "The pipeline's name."
  value       = bellflower_callback_pipeline.this.name
}

output "environment" {
  description = "The pipeline's environment."
  value       = bellflower_callback_pipeline.this.environment
}

output "state_machine_name" {
  description = "The state machine's name."
  value       = bellflower_callback_pipeline.this.state_machine.name
}

output "state_machine_arn" {
  description = "The state machine's ARN: start executions of it."
  value       = bellflower_callback_pipeline.this.state_machine.arn
}

output "bucket" {
  description = "The bucket's name: work appears in outbound/, answers are awaited in inbound/."
  value       = bellflower_callback_pipeline.this.bucket.bucket
}

output "bucket_arn" {
  description = "The bucket's ARN."
  value       = bellflower_callback_pipeline.this.bucket.arn
}

output "inbound_prefix" {
  description = "The folder of answers."
  value       = bellflower_callback_pipeline.this.bucket.inbound_prefix
}

output "outbound_prefix" {
  description = "The folder of work handed out."
  value       = bellflower_callback_pipeline.this.bucket.outbound_prefix
}

output "topic_name" {
  description = "The topic's name."
  value       = bellflower_callback_pipeline.this.topic.name
}

output "topic_arn" {
  description = "The topic's ARN: messages of success and failure and alarms are published here."
  value       = bellflower_callback_pipeline.this.topic.arn
}

output "subscription_arns" {
  description = "The ARNs of the subscriptions, by the names you gave them."
  value       = { for name, one in coalesce(bellflower_callback_pipeline.this.subscriptions, {}) : name => one.arn }
}

output "queue_name" {
  description = "The name of the queue between state machine and integration function."
  value       = bellflower_callback_pipeline.this.queue.name
}

output "queue_arn" {
  description = "The ARN of that queue."
  value       = bellflower_callback_pipeline.this.queue.arn
}

output "queue_url" {
  description = "The URL of that queue."
  value       = bellflower_callback_pipeline.this.queue.url
}

output "undeliverable_queue_name" {
  description = "The name of the queue for messages that the integration function could not handle."
  value       = bellflower_callback_pipeline.this.undeliverable_queue.name
}

output "undeliverable_queue_arn" {
  description = "The ARN of that queue."
  value       = bellflower_callback_pipeline.this.undeliverable_queue.arn
}

output "undeliverable_queue_url" {
  description = "The URL of that queue."
  value       = bellflower_callback_pipeline.this.undeliverable_queue.url
}

output "dead_letter_queue_name" {
  description = "The name of the queue that keeps messages and events that could not be handled."
  value       = bellflower_callback_pipeline.this.dead_letter_queue.name
}

output "dead_letter_queue_arn" {
  description = "The ARN of that queue."
  value       = bellflower_callback_pipeline.this.dead_letter_queue.arn
}

output "dead_letter_queue_url" {
  description = "The URL of that queue."
  value       = bellflower_callback_pipeline.this.dead_letter_queue.url
}

output "processing_function_name" {
  description = "The name of the processing function."
  value       = bellflower_callback_pipeline.this.processing.function_name
}

output "processing_function_arn" {
  description = "The ARN of the processing function."
  value       = bellflower_callback_pipeline.this.processing.arn
}

output "integration_function_name" {
  description = "The name of the integration function."
  value       = bellflower_callback_pipeline.this.integration.function_name
}

output "integration_function_arn" {
  description = "The ARN of the integration function."
  value       = bellflower_callback_pipeline.this.integration.arn
}

output "role_arns" {
  description = "The ARNs of the IAM roles: processing, integration, state_machine."
  value = {
    processing    = bellflower_callback_pipeline.this.processing.role.arn
    integration   = bellflower_callback_pipeline.this.integration.role.arn
    state_machine = bellflower_callback_pipeline.this.state_machine.role.arn
  }
}

output "log_group_names" {
  description = "The names of the log groups: processing, integration, state_machine."
  value = {
    processing    = bellflower_callback_pipeline.this.processing.log_group.name
    integration   = bellflower_callback_pipeline.this.integration.log_group.name
    state_machine = bellflower_callback_pipeline.this.state_machine.log_group.name
  }
}

output "alarm_arns" {
  description = "The ARNs of the alarms by what they watch, as in processing.errors or pipeline.executions_failed; those left out are not there."
  value = {
    for owner, alarms in {
      processing  = bellflower_callback_pipeline.this.processing.alarms
      integration = bellflower_callback_pipeline.this.integration.alarms
      pipeline    = bellflower_callback_pipeline.this.alarms
    } :
    owner => { for name, alarm in alarms : name => alarm.arn if alarm.enabled }
  }
}

output "dashboard_name" {
  description = "The dashboard's name, where there is one."
  value       = try(bellflower_callback_pipeline.this.dashboard.dashboard_name, null)
}

output "business_application_policy_json" {
  description = "The IAM policy with just what the business application needs."
  value       = bellflower_callback_pipeline.this.business_application_policy_json
}

output "kms_key_arn" {
  description = "The ARN of the key that encrypts everything: yours or the pipeline's own."
  value       = var.kms_key_arn != null ? var.kms_key_arn : bellflower_callback_pipeline.this.key.arn
}

output "drift" {
  description = "What was found changed in AWS among properties without an argument."
  value       = bellflower_callback_pipeline.this.drift
}

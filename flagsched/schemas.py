"""The schemas of the scheduling API, for Python clients: load a request, or check an answer.

They are the very ones that the server uses, under the names that its OpenAPI document gives.
"""

from flagsched.web.schemas.schedules import BulkCreateScheduleRequest, BulkScheduleResponse, CreateScheduleRequest

__all__ = ["BulkCreateScheduleRequest", "BulkScheduleResponse", "CreateScheduleRequest"]
